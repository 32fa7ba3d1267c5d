--[[
  Take the conversation's lease with the next message to answer.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  owner
  ARGV[2]  ms of the lease
  ARGV[3]  starts after which a message is given up
  ARGV[4]  nonce of this call

  Returns {'busy'} (another has the lease), {'idle'} (nothing to do), or {'acquired', token, id, question, talk,
  prefix, state's prefix, state, starts, seconds waited, caution}.
]]
--- @include "conversation"

local owner, lease, meta = ARGV[1], base .. 'lease', base .. 'meta'
local token = redis.call('GET', lease)
if token and string.sub(token, 1, #owner + 1) ~= owner .. ':' then return {'busy'} end
while true do
  local id = redis.call('LINDEX', base .. 'queue', 0)
  if not id then redis.call('DEL', lease); return {'idle'} end
  local status = redis.call('HGET', message_key(id), 'status')
  if status == 'queued' or status == 'running' then
    local starts = tonumber(redis.call('HGET', message_key(id), 'starts'))
    if redis.call('HGET', message_key(id), 'taken') == ARGV[4] then starts = starts - 1 end  -- counted already
    if starts < tonumber(ARGV[3]) then
      -- A fence of a time, in µs: a conversation forgotten and begun again must not meet its old ones.
      redis.call('HSETNX', meta, 'fence', string.format('%d%06d', time[1], time[2]))
      if not token then
        redis.call('HINCRBY', meta, 'fence', 1)
        token = owner .. ':' .. redis.call('HGET', meta, 'fence')  -- as text: Lua would shorten the number
      end
      redis.call('SET', lease, token, 'PX', ARGV[2])
      redis.call('HSET', message_key(id), 'status', 'running', 'text', '', 'starts', starts + 1, 'taken', ARGV[4])
      local state = redis.call('HMGET', base .. 'state', 'prefix', 'packed')
      local now_in = redis.call('HMGET', meta, 'talk', 'prefix')
      local own = redis.call('HMGET', message_key(id), 'question', 'talk', 'first', 'caution')
      local current = now_in[1] == own[2]
      return {'acquired', token, id, own[1], own[2], current and now_in[2] or '', current and state[1] or '',
        current and state[2] or '', starts + 1, tostring(now - (own[3] or now)), own[4] or ''}
    end
    redis.call('HSET', message_key(id), 'status', 'failed', 'error', 'cut short too often')
  end
  redis.call('LPOP', base .. 'queue')
end
