-- The records of some conversations.
--
-- KEYS  content, record of each
-- ARGV  id of each
-- Returns for each {whether it exists, owner, title, created, updated, runs, version, seal, expires}.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local records = {}
for i, id in ipairs(ARGV) do
  local record = redis.call('HMGET', KEYS[i + 1],
    'owner', 'title', 'created', 'updated', 'runs', 'version', 'seal', 'expires')
  local expired = (tonumber(record[8] or nil) or math.huge) <= now
  table.insert(record, 1, expired and 0 or redis.call('HEXISTS', KEYS[1], id))
  records[i] = record
end
return records
