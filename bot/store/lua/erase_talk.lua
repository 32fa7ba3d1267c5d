--[[
  Delete one talk: its turns, what was thought of its answers, the records of its messages, and those of
  commands, which may quote it. A running answer finds its record gone and writes nothing.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  number of the talk

  Returns {number of the talk that goes on, the deleted turns …}.
]]
--- @include "conversation"

local meta, turns, talk = base .. 'meta', base .. 'turns', tonumber(ARGV[1])
local gone, kept = {}, {}
for _, text in ipairs(redis.call('LRANGE', turns, 0, -1)) do
  local row = cjson.decode(text)
  if row.talk == talk then
    gone[#gone + 1] = text
    redis.call('HDEL', base .. 'feedback', row.message_id)
  else kept[#kept + 1] = text end
end
local left = redis.call('PTTL', turns)
if #gone > 0 then
  redis.call('DEL', turns)
  for _, text in ipairs(kept) do redis.call('RPUSH', turns, text) end
  if left > 0 then redis.call('PEXPIRE', turns, left) end
end
for _, id in ipairs(redis.call('ZRANGE', base .. 'jobs', 0, -1)) do
  local own = redis.call('HMGET', message_key(id), 'kind', 'talk')
  local question = own[1] == 'ask' or own[1] == 'tell'
  if not question or tonumber(own[2]) == talk then
    redis.call('DEL', message_key(id))
    redis.call('ZREM', base .. 'jobs', id)
    for _, list in ipairs({'queue', 'open', 'pushes'}) do redis.call('LREM', base .. list, 0, id) end
  end
end
local current = tonumber(redis.call('HGET', meta, 'talk') or 0)
if current == talk and redis.call('EXISTS', meta) == 1 then
  current = highest_talk() + 1
  redis.call('HSET', meta, 'talk', current)
  redis.call('HDEL', meta, 'prefix', 'last')
  redis.call('DEL', base .. 'state', base .. 'open')
end
if #gone > 0 then redis.call('HINCRBY', meta, 'version', 1) end
table.insert(gone, 1, current)
return gone
