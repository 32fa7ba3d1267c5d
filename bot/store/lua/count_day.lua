--[[
  Count what happened on a day, and who it happened to, once for each nonce.

  KEYS[1]  the day's hash, plm:{days}:DATE
  ARGV[1]  nonce of this batch of events
  ARGV[2]  the events as JSON: {CHANNEL: {"counts": {NAME: how many more, may be negative},
           "people": [hash of a person, …]}}
  ARGV[3]  seconds that the day is kept
  ARGV[4]  seconds that the nonce is kept

  Returns 1.
]]

local day = KEYS[1]
if not redis.call('SET', day .. ':nonce:' .. ARGV[1], '1', 'NX', 'EX', ARGV[4]) then return 1 end  -- sent twice
for channel, events in pairs(cjson.decode(ARGV[2])) do
  for name, count in pairs(events.counts) do
    redis.call('HINCRBY', day, channel .. ':' .. name, count)
  end
  if #events.people > 0 then  -- it can count persons, and name none
    local people = day .. ':people:' .. channel
    for first = 1, #events.people, 1000 do  -- Lua's stack holds some thousands of arguments
      redis.call('PFADD', people, unpack(events.people, first, math.min(first + 999, #events.people)))
    end
    redis.call('EXPIRE', people, 2 * 86400)
    redis.call('HSET', day, channel .. ':people', redis.call('PFCOUNT', people))
  end
end
redis.call('EXPIRE', day, ARGV[3])
return 1
