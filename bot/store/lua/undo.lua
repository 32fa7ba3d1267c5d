--[[
  Take back the last question of the talk and its answer.

  KEYS[1]  the conversation's prefix, plm:{CHANNEL:USER}:
  ARGV[1]  message id
  ARGV[2]  nonce of this attempt
  ARGV[3]  reply if there was one
  ARGV[4]  reply if there was none
  ARGV[5]  text in place of an answer still being written
  ARGV[6]  ms that the conversation is kept
  ARGV[7]  ms that a message is remembered
  ARGV[8]  the message that it must be, or nothing is taken back; "" for whichever it is

  Returns the message's fields as HGETALL does, and `now`.
]]
--- @include "conversation"

local id, meta, turns = ARGV[1], base .. 'meta', base .. 'turns'
if redis.call('EXISTS', message_key(id)) == 0 then
  local talk = tonumber(redis.call('HGET', meta, 'talk') or 0)
  local undone, before
  local rows = redis.call('LRANGE', turns, 0, -1)
  for i = #rows, 1, -1 do
    local row = cjson.decode(rows[i])
    if row.talk == talk and row.role == 'user' then  -- a talk that was gone back to stands among later ones
      if undone then before = row.message_id; break end
      undone = row.message_id
    end
  end
  if ARGV[8] ~= '' and undone ~= ARGV[8] then undone = nil end
  if undone then
    redis.call('HDEL', base .. 'feedback', undone)
    local answered = false
    for _, text in ipairs(rows) do
      local row = cjson.decode(text)
      if row.message_id == undone then
        redis.call('LREM', turns, -1, text)
        if row.role == 'assistant' then answered = true end
      end
    end
    redis.call('LREM', base .. 'queue', 0, undone)
    redis.call('LREM', base .. 'open', 0, undone)
    redis.call('LREM', base .. 'pushes', 0, undone)
    if redis.call('HGET', message_key(undone), 'push') == 'due' then
      redis.call('HSET', message_key(undone), 'push', 'told')
    end
    local status = redis.call('HGET', message_key(undone), 'status')
    if status and status ~= 'done' then
      redis.call('HSET', message_key(undone), 'status', 'done', 'text', ARGV[5], 'enough', 1)
    end
    if before then redis.call('HSET', meta, 'last', before) else redis.call('HDEL', meta, 'last') end
    if answered then
      redis.call('HSET', meta, 'prefix', 'undone:' .. id)
      redis.call('DEL', base .. 'state')
    end
    redis.call('HINCRBY', meta, 'version', 1)
  end
  redis.call('HSET', message_key(id), 'kind', 'command', 'status', 'done', 'reply', undone and ARGV[3] or ARGV[4],
    'first', now)
  remember(id, ARGV[7])
  renew(ARGV[6])
end
return count_attempt(id, ARGV[2])
