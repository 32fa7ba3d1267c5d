--[[
  What all scripts of a conversation share. Included, not run: KEYS[1] is the conversation's prefix.
  All keys are built from it, so they lie in its slot of a cluster. The clock is the server's.
]]
local base, time = KEYS[1], redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local function message_key(id) return base .. 'job:' .. id end
local function renew(ms) for _, name in ipairs({'meta', 'turns', 'queue', 'open', 'feedback'}) do
  redis.call('PEXPIRE', base .. name, ms) end end
local function append_turn(role, content, id, talk, remark, citations, marks)
  if remark == '' then remark = nil end
  if citations == '' then citations = nil end
  if marks == '' then marks = nil end
  redis.call('RPUSH', base .. 'turns', cjson.encode({role=role, content=content, time=now, message_id=id,
    talk=tonumber(talk), remark=remark, citations=citations, marks=marks}))
  redis.call('HINCRBY', base .. 'meta', 'version', 1)
  redis.call('HSET', base .. 'meta', 'updated', now)
end
local function keep(key, ms)  -- at least so long
  if redis.call('PTTL', key) < tonumber(ms) then redis.call('PEXPIRE', key, ms) end
end
local function keep_record(id, ms)
  keep(message_key(id), ms)
  keep(base .. 'jobs', ms)
end
local function remember(id, ms)  -- a message came: its record lives so long, and can be found to be forgotten
  redis.call('PEXPIRE', message_key(id), ms)
  redis.call('ZADD', base .. 'jobs', now, id)
  keep(base .. 'jobs', ms)
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', base .. 'jobs', '-inf', now - ms / 1000, 'LIMIT', 0, 20)) do
    if redis.call('EXISTS', message_key(old)) == 0 then redis.call('ZREM', base .. 'jobs', old) end
  end
end
local function highest_talk()  -- a talk that was gone back to may not be the last one
  local numbers = redis.call('HMGET', base .. 'meta', 'talk', 'talks')
  return math.max(tonumber(numbers[1] or 0), tonumber(numbers[2] or 0))
end
local function count_attempt(id, nonce)
  if redis.call('HGET', message_key(id), 'nonce') ~= nonce then
    redis.call('HINCRBY', message_key(id), 'attempts', 1)
    redis.call('HSET', message_key(id), 'nonce', nonce)
  end
  local fields = redis.call('HGETALL', message_key(id))
  fields[#fields + 1], fields[#fields + 2] = 'now', tostring(now)
  return fields
end
-- A lease that ran out is still good as long as nobody took the next fence number.
local function holds_lease(token)
  return tonumber(string.match(token, ':(%d+)$')) == tonumber(redis.call('HGET', base .. 'meta', 'fence'))
end
