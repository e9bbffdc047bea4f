-- needs: tolerant
--
-- Search documents, and their conversations as they are now.
--
-- KEYS  content, expiry, tokens, owners, root
-- ARGV  owner ('' any), tag that is taken to be his, how many parts each hit of the reply has, then
--       a search that is to be made; or with 0, the tokens of what was found before
-- Returns {time, how many conversations are past their deadline, whether the tag is his, the reply to
--   the search, the token of each conversation in it, then for each of them false if nobody has it,
--   or {owner, title, created, updated, runs, version, seal, expires, indexed, token, id, bytes of
--   the field}}.
local content, expiry, tokens, owners, root = unpack(KEYS)
local owner, tag, parts = ARGV[1], ARGV[2], tonumber(ARGV[3])

-- Each token once, in the order of the hits.
local function tokens_in(found)
  local start, known, names = #root + #'run:' + 1, {}, {}
  for i = 2, #found, parts do
    local token = found[i]:match('^[^:]*', start)
    if not known[token] then
      known[token] = true
      names[#names + 1] = token
    end
  end
  return names
end

local found, names
if parts == 0 then
  found, names = false, {unpack(ARGV, 4)}
else
  found = redis.pcall(unpack(ARGV, 4))
  if found.err then return found end
  names = tokens_in(found)
end
local clock = redis.call('TIME')
local time = clock[1] * 1000 + math.floor(clock[2] / 1000)
local is_his = owner == '' or redis.call('HGET', owners, owner) == tag
local overdue = redis.call('ZCOUNT', expiry, '-inf', time)
local reply = {time, overdue, is_his and 1 or 0, found, names}
if #names == 0 then return reply end

for i, id in ipairs(redis.call('HMGET', tokens, unpack(names))) do
  local record = id and tolerant('HMGET', root .. 'record:' .. id, 'owner', 'title', 'created',
    'updated', 'runs', 'version', 'seal', 'expires', 'indexed', 'token')
  if record then
    record[11], record[12] = id, redis.call('HSTRLEN', content, id)
    reply[i + 5] = record
  else
    reply[i + 5] = false
  end
end
return reply
