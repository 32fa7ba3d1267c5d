"""What Redis keeps. Only this folder knows its keys and sends scripts.

One conversation lives under one hash tag, so that it is one slot of a cluster:

    plm:{channel:user}:meta    hash  channel user created updated version talk talks prefix fence greeted last
    plm:{channel:user}:turns   list  JSON turns: role, content, time, message_id, talk   (the truth)
    plm:{channel:user}:queue   list  message ids that wait for an answer, in order
    plm:{channel:user}:lease   text  the holder of the lease, owner:fence, for a few seconds
    plm:{channel:user}:state   hash  the model's state after the last answer, for some hours: prefix, packed
    plm:{channel:user}:open    list  message ids whose answer was handed out in part
    plm:{channel:user}:jobs    zset  the ids of those messages, by when they came
    plm:{channel:user}:job:ID  hash  one message: status, question, text so far, attempts, reply …
    plm:{channel:user}:sends   hash  allowed pushes: `left` messages since `mark`, at `address`
    plm:{channel:user}:pushes  list  message ids whose answer is still to be pushed, in order
    plm:{channel:user}:pusher  text  the holder of the lease for pushing
    plm:{channel:user}:feedback hash what the user thinks of an answer, by message id: up or down
    plm:{channel:user}:tasks   zset  tasks about the conversation: see tasks.py
    plm:index:N                zset  conversations by their last question, in 16 parts: see index.py
    plm:channels, plm:emergencies    see index.py
    plm:marked-down            zset  answers that their readers marked down, by when: see feedback.py
    plm:{days}:…               what happened each day in each channel: see days.py
    plm:{admin}:…              what administrators have set: see admin.py
    plm:{broadcast}:…          what is sent to everybody: see broadcasts.py
    plm:{library}:…            the owner's uploaded texts: see library.py
    plm:token:…, plm:lock:…    text  a token that all processes share, and who is fetching it
    plm:done:…                 text  a task that must not run twice has run
    {plm:work:QUEUE}:…         the task queues: see tasks.py
    plm:limit:…                what a user (a hash) has used of a rate: see rates.py
"""
