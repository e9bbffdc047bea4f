-- needs: summary
--
-- A search, or the documents of an earlier one, with the present records of their conversations.
--
-- KEYS  content, expiry, tokens, owners, root
-- ARGV  owner ('' any), the tag believed to be the owner's, the number of parts of each hit in the
--       reply, then the search; or 0, then the tokens that were found before
-- Returns {time, number of expired conversations, 1 if the tag is the owner's, the reply to the search,
--   the token of each conversation in it, then for each token false if no conversation has it, or
--   {owner, title, created, updated, runs, version, expires, layout, length, crc, end,
--   indexed, token, id, bytes of the field}}.
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
local time = clock()
local is_tag = owner == '' or redis.call('HGET', owners, owner) == tag
local overdue = redis.call('ZCOUNT', expiry, '-inf', time)
local reply = {time, overdue, is_tag and 1 or 0, found, names}
if #names == 0 then return reply end

for i, id in ipairs(redis.call('HMGET', tokens, unpack(names))) do
  local record = id and tolerant('HMGET', root .. 'record:' .. id, 'owner', 'title', 'created',
    'updated', 'runs', 'version', 'expires', 'layout', 'length', 'crc', 'end', 'indexed', 'token')
  if record then
    record[14], record[15] = id, redis.call('HSTRLEN', content, id)
    reply[i + 5] = record
  else
    reply[i + 5] = false
  end
end
return reply
