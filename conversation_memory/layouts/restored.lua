-- Behind restore.lua and the HSET of the same MULTI: take back what was refused, and let what has a
-- deadline expire with its field, which an HSET forgets.
--
-- KEYS  content, refused, then runs of each
-- ARGV  of each id and deadline, of those that have one
local function expire(id, deadline) redis.pcall('HPEXPIREAT', KEYS[1], deadline, 'FIELDS', 1, id) end

for i = 1, #ARGV, 2 do
  expire(ARGV[i], ARGV[i + 1])
  redis.pcall('PEXPIREAT', KEYS[(i + 1) / 2 + 2], ARGV[i + 1])
end
local refused, deadlines = redis.call('HGETALL', KEYS[2]), {}
for i = 1, #refused, 2 do
  local what, id = refused[i]:match('^(%a+) (.*)$')
  if what == 'document' then
    redis.call('HSET', KEYS[1], id, refused[i + 1])
  elseif what == 'absent' then
    redis.call('HDEL', KEYS[1], id)
  else
    deadlines[#deadlines + 1] = {id, refused[i + 1]}
  end
end
for _, pair in ipairs(deadlines) do expire(unpack(pair)) end
redis.call('DEL', KEYS[2])
return 0
