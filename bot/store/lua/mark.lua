--[[
  Store what a reader thinks of an answer.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  message id, of letters and digits
  ARGV[2]  up, down, or "" for neither
  ARGV[3]  answers that may be marked, at most

  Returns what was stored before, "" for neither; nil if there is no such answer.
]]
--- @include "conversation"

local id, feedback, found = ARGV[1], base .. 'feedback', false
for _, text in ipairs(redis.call('LRANGE', base .. 'turns', 0, -1)) do
  if string.find(text, '"message_id":"' .. id .. '"', 1, true) then
    local row = cjson.decode(text)
    if row.message_id == id and row.role == 'assistant' then found = true end
  end
end
if not found then return false end
local before = redis.call('HGET', feedback, id) or ''
if ARGV[2] == '' then redis.call('HDEL', feedback, id)
elseif before ~= '' or redis.call('HLEN', feedback) < tonumber(ARGV[3]) then
  redis.call('HSET', feedback, id, ARGV[2])
end
local left = redis.call('PTTL', base .. 'turns')
if left > 0 then redis.call('PEXPIRE', feedback, left) end
return before
