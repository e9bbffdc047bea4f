-- needs: common
-- Note over which shards an index is spread, if it is spread as the caller believes.
-- KEYS  key of the number of shards (or the hash of an index without any), hash that is leaving
-- ARGV  what is noted now ('1' for an index without shards), what to note
-- Returns 1, or 0 if something else is noted.
local index, leaving = unpack(KEYS)
local kind = redis.call('TYPE', index).ok
if kind == 'string' and redis.call('GET', index) ~= ARGV[1] or kind ~= 'string' and ARGV[1] ~= '1' then
  return 0
end
if kind == 'hash' then redis.call('RENAME', index, leaving) end
redis.call('SET', index, ARGV[2])
return 1
