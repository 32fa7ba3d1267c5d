--[[
  Acquire the lease for pushing, with the next answer that is ready.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  owner
  ARGV[2]  ms of the lease
  ARGV[3]  1: the platform recognises a message that is sent twice

  Returns {'busy'}, {'idle'}, {'unsure', id} (interrupted while it was sent), or {'acquired', id, status, text, delivered,
  before, sends left}.
]]
--- @include "conversation"
--- @include "push"

local holder = redis.call('GET', pusher)
if holder and holder ~= ARGV[1] then return {'busy'} end
while true do
  local id = redis.call('LINDEX', pushes, 0)
  local own = id and redis.call('HMGET', message_key(id), 'status', 'push', 'text', 'delivered', 'before')
  if not id or own[1] == 'queued' or own[1] == 'running' then
    redis.call('DEL', pusher)
    return {'idle'}
  end
  if own[1] and ARGV[3] == '1' and unclaim(id) then
    redis.call('HSET', message_key(id), 'push', 'due')
    own[2], own[4] = 'due', redis.call('HGET', message_key(id), 'delivered')
  end
  if own[1] and own[2] == 'due' then
    redis.call('SET', pusher, ARGV[1], 'PX', ARGV[2])
    local left = redis.call('HGET', base .. 'sends', 'left')
    return {'acquired', id, own[1], own[3], own[4], own[5], left or '0'}
  end
  redis.call('LPOP', pushes)
  if own[1] and unclaim(id) then
    redis.call('HSET', message_key(id), 'push', 'unsure')
    mark_open(id)
    return {'unsure', id}
  end
end
