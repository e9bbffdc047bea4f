-- The conversations of some search documents, as they are now.
--
-- KEYS  content, expiry, tokens, owners, root
-- ARGV  owner ('' any), tag that is taken to be his, token of each
-- Returns {time, how many conversations are past their deadline, whether the tag is his, then for
--   each token false if nobody has it, or {owner, title, created, updated, runs, version, seal,
--   expires, indexed, token, id, bytes of the field}}.
local content, expiry, tokens, owners, root = unpack(KEYS)
local clock = redis.call('TIME')
local time = clock[1] * 1000 + math.floor(clock[2] / 1000)
local owner, tag = ARGV[1], ARGV[2]
local is_his = owner == '' or redis.call('HGET', owners, owner) == tag
local reply = {time, redis.call('ZCOUNT', expiry, '-inf', time), is_his and 1 or 0}
if #ARGV == 2 then return reply end

for i, id in ipairs(redis.call('HMGET', tokens, unpack(ARGV, 3))) do
  local record = id and redis.pcall('HMGET', root .. 'record:' .. id, 'owner', 'title', 'created',
    'updated', 'runs', 'version', 'seal', 'expires', 'indexed', 'token')
  if record and not record.err then
    record[11], record[12] = id, redis.call('HSTRLEN', content, id)
    reply[i + 3] = record
  else
    reply[i + 3] = false
  end
end
return reply
