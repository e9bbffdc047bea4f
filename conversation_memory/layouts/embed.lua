-- Put vectors into the search documents that are still there.
--
-- KEYS  documents without a vector, then a document each
-- ARGV  a vector each
-- Returns how many documents were there.
local written = 0
for i, vector in ipairs(ARGV) do
  local key = KEYS[i + 1]
  if vector ~= '' and redis.call('EXISTS', key) == 1 then
    local set = redis.pcall('HSET', key, 'v', vector)
    written = written + (type(set) == 'number' and 1 or 0)
  end
  redis.call('ZREM', KEYS[1], key)
end
return written
