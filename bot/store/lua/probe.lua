--[[
  Try commands, to find out which of them this user may not run, and which cannot run now.

  KEYS[1]  the prefix of the keys that they use; they are deleted at the end
  ARGV[1]  JSON: a list of commands with their arguments

  Returns the errors, each behind the name of its command.
]]

local refused = {}
for _, command in ipairs(cjson.decode(ARGV[1])) do
  local said = redis.pcall(unpack(command))
  if type(said) == 'table' and said.err then refused[#refused + 1] = command[1] .. ' ' .. said.err end
end
for _, kind in ipairs({'text', 'hash', 'list', 'set', 'zset', 'people'}) do redis.pcall('DEL', KEYS[1] .. kind) end
return refused
