-- needs: tolerant
--
-- The records of some conversations.
--
-- KEYS  content, record of each
-- ARGV  id of each
-- Returns for each {whether it exists, owner, title, created, updated, runs, version, seal, expires}.
-- A key of another type counts as not there.
local function is_past(deadline)
  if not deadline then return false end
  local time = redis.call('TIME')
  return deadline <= time[1] * 1000 + time[2] / 1000
end

local records = {}
for i, id in ipairs(ARGV) do
  local record = tolerant('HMGET', KEYS[i + 1],
    'owner', 'title', 'created', 'updated', 'runs', 'version', 'seal', 'expires')
    or {false, false, false, false, false, false, false, false}
  local past = is_past(number(record[8]))
  table.insert(record, 1, past and 0 or redis.call('HEXISTS', KEYS[1], id))
  records[i] = record
end
return records
