-- The conversations of some search documents, and whether they are as they were indexed.
--
-- KEYS  content, tokens, owners, root
-- ARGV  owner ('' any), tag that is taken to be his, token of each
-- Returns {whether the tag is his, then for each token {} if nobody has it, or {id, whether its
--   documents are up to date, whether it exists, owner, title, created, updated, runs, version, seal,
--   expires}}.
local content, tokens, owners, root = unpack(KEYS)

local function is_past(deadline)
  if not deadline then return false end
  local time = redis.call('TIME')
  return deadline <= time[1] * 1000 + time[2] / 1000
end

local function found(token)
  local id = redis.call('HGET', tokens, token)
  if not id then return {} end
  local key = root .. 'record:' .. id
  local record = redis.pcall('HMGET', key, 'owner', 'title', 'created', 'updated', 'runs', 'version',
    'seal', 'expires', 'indexed', 'token')
  if record.err or record[10] ~= token then return {} end
  local size = redis.call('HSTRLEN', content, id)
  local version, written = (record[9] or ''):match('%-(%d+)%-(%d+)$')
  local current = version == record[6] and tonumber(written) == size
  local exists = size > 0 and not is_past(tonumber(record[8] or nil))
  return {id, current and 1 or 0, exists and 1 or 0, unpack(record, 1, 8)}
end

local reply = {1}
if ARGV[1] ~= '' and redis.call('HGET', owners, ARGV[1]) ~= ARGV[2] then reply[1] = 0 end
for i = 3, #ARGV do reply[i - 1] = found(ARGV[i]) end
return reply
