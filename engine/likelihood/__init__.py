"""What a model's likelihoods say: score a text, choose an answer, fill a gap, judge a statement."""
