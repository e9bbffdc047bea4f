-- needs: tolerant, clock
--
-- Some conversations without their content, all as they are at one moment.
--
-- KEYS  content, recency index (of all or of one owner), then record and runs of each
-- ARGV  how many fields of the record to fetch, their names ('expires' first), then the id of each
-- Returns the time if one of them has a deadline, then for each {bytes of the field (-1 none), type
-- of the record, type of the runs, elements of the list, score in the recency index, {values of the
-- fields}}, of which a record of another type has none.
local count = tonumber(ARGV[1])
local fields = {unpack(ARGV, 2, count + 1)}
local found = {false}
for i = count + 2, #ARGV do
  local id, record, runs = ARGV[i], KEYS[2 * (i - count) - 1], KEYS[2 * (i - count)]
  local kind, list = redis.call('TYPE', record).ok, redis.call('TYPE', runs).ok
  local size = redis.call('HSTRLEN', KEYS[1], id)
  if size == 0 and redis.call('HEXISTS', KEYS[1], id) == 0 then size = -1 end
  local length = list == 'list' and redis.call('LLEN', runs) or 0
  local values = kind == 'hash' and redis.call('HMGET', record, unpack(fields)) or {}
  -- Only then: a user who may only read may lack TIME, which is not in @read.
  if values[1] then found[1] = found[1] or clock() end
  local score = tolerant('ZSCORE', KEYS[2], id) or false
  found[#found + 1] = {size, kind, list, length, score, values}
end
return found
