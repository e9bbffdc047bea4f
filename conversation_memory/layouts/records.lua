-- The records of some conversations.
--
-- KEYS  content, record of each
-- ARGV  id of each
-- Returns for each {whether the conversation exists, owner, title, created, updated, runs, ...}.
local records = {}
for i, id in ipairs(ARGV) do
  local found = redis.call('HEXISTS', KEYS[1], id)
  local record = redis.call('HMGET', KEYS[i + 1],
    'owner', 'title', 'created', 'updated', 'runs', 'version', 'seal')
  table.insert(record, 1, found)
  records[i] = record
end
return records
