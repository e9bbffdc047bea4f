-- needs: common
-- Write vectors into the search documents that still exist.
-- KEYS  documents without a vector, then a document each
-- ARGV  a vector each
-- Returns how many documents were written.
local written = 0
for i, vector in ipairs(ARGV) do
  local key = KEYS[i + 1]
  local is_there = vector ~= '' and redis.call('EXISTS', key) == 1
  if is_there and tolerant('HSET', key, 'v', vector) then written = written + 1 end
  redis.call('ZREM', KEYS[1], key)
end
return written
