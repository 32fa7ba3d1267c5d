--[[
  Count something that happened in a channel on a day, and who it happened to, once for each nonce.

  KEYS[1]  the day's hash, plm:{days}:DATE
  ARGV[1]  nonce of this event
  ARGV[2]  channel
  ARGV[3]  hash of the person; "" if persons are not counted
  ARGV[4]  names of what is counted, with commas between; "-" before one takes one back
  ARGV[5]  seconds that the day is kept

  Returns 1.
]]

local day, channel = KEYS[1], ARGV[2]
if not redis.call('SET', day .. ':nonce:' .. ARGV[1], '1', 'NX', 'EX', 10) then return 1 end  -- sent twice
for sign, name in string.gmatch(ARGV[4], '(-?)([^,-]+)') do
  redis.call('HINCRBY', day, channel .. ':' .. name, sign == '-' and -1 or 1)
end
if ARGV[3] ~= '' then  -- it can count persons, and name none
  local people = day .. ':people:' .. channel
  redis.call('PFADD', people, ARGV[3])
  redis.call('EXPIRE', people, 2 * 86400)
  redis.call('HSET', day, channel .. ':people', redis.call('PFCOUNT', people))
end
redis.call('EXPIRE', day, ARGV[5])
return 1
