-- Layout `list`: write the document without runs, if the field still holds what was read.
--
-- ARGV  id, owner, lifetime, default lifetime, the document read ('' none), the new one, its seal
-- Returns the new version, {'owner', its owner}, or {'changed'}.
local exists = alive()
local other = other_owner(exists)
if other then return {'owner', other} end
if (redis.call('HGET', content, id) or '') ~= ARGV[5] then return {'changed'} end
redis.call('HSET', content, id, ARGV[6])
if not exists then
  redis.call('DEL', runs)
  born()
end
return touch(redis.call('LLEN', runs), ARGV[7], ARGV[3], ARGV[4])
