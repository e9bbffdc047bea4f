-- Put vectors into the search documents that are still there.
--
-- KEYS  documents without a vector, then a document each
-- ARGV  a vector each
-- Returns how many documents were there.
local written = 0
for i, vector in ipairs(ARGV) do
  local key = KEYS[i + 1]
  if vector ~= '' and redis.call('EXISTS', key) == 1 then
    redis.call('HSET', key, 'v', vector)
    written = written + 1
  end
  redis.call('ZREM', KEYS[1], key)
end
return written
