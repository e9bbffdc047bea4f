-- needs: common
-- Give search documents that were made anew the times and the vectors of those in another shard.
-- KEYS  documents without a vector, then a document each
-- ARGV  of each its time and its vector ('' none)
-- Returns how many there were.
local found = 0
for i = 2, #KEYS do
  local key, time, vector = KEYS[i], ARGV[2 * i - 3], ARGV[2 * i - 2]
  if redis.call('EXISTS', key) == 1 then
    found = found + 1
    redis.call('HSET', key, 't', time)
    if vector ~= '' then
      redis.call('HSET', key, 'v', vector)
      redis.call('ZREM', KEYS[1], key)
    end
  end
end
return found
