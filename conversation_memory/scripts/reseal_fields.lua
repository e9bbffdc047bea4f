-- needs: common
-- Give fields of a hash other values, each unless it was written since it was read. Deadlines stay.
-- KEYS  hash
-- ARGV  of each field its name, the SHA-1 of the value that was read, and the new one; or its name, ''
--       and '', to delete it
-- Returns how many were written since.
local missed = 0
for i = 1, #ARGV, 3 do
  local field, digest, value = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local stored = digest ~= '' and redis.call('HGET', KEYS[1], field)
  if digest == '' then
    redis.call('HDEL', KEYS[1], field)
  elseif stored and redis.sha1hex(stored) == digest then
    local times = redis.pcall('HPEXPIRETIME', KEYS[1], 'FIELDS', 1, field)
    redis.call('HSET', KEYS[1], field, value)
    if not times.err and times[1] > 0 then
      redis.pcall('HPEXPIREAT', KEYS[1], times[1], 'FIELDS', 1, field)
    end
  elseif stored then
    missed = missed + 1
  end
end
return missed
