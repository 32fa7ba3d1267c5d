"""What a model is: its sizes, its file, the text it reads, the device it runs on."""
