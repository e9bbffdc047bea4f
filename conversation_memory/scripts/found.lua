-- needs: common
-- A search, or the tokens of an earlier one, with the present records of the conversations.
-- KEYS  content, expiry, tokens, owners, root
-- ARGV  owner ('' any), the tag believed to be the owner's, the number of parts of each hit in a
--       reply, the search; or 0 and tokens
-- Returns {number of expired conversations, 1 if the tag is the owner's, the reply to the search,
-- the token of each conversation in it}, then for each token false if there is no such conversation
-- of the owner; else its id, 1 if its documents are those of all runs, and LISTED of records.py.
local content, expiry, tokens, owners, root = unpack(KEYS)
local owner, tag, parts = ARGV[1], ARGV[2], tonumber(ARGV[3])
local found, names, known = false, {}, {}
if parts == 0 then
  names = {unpack(ARGV, 4)}
else
  found = redis.pcall(unpack(ARGV, 4))
  if found.err then return found end
  local first = #root + #'run:' + 1
  for i = 2, #found, parts do
    local token = found[i]:sub(first, first + 15)  -- the suffix follows
    names[#names + 1], known[token] = not known[token] and token or nil, true
  end
end
local time = clock()
local is_tag = owner == '' or redis.call('HGET', owners, owner) == tag
local reply = {redis.call('ZCOUNT', expiry, '-inf', time), is_tag and 1 or 0, found, names}
if #names == 0 then return reply end
for i, id in ipairs(redis.call('HMGET', tokens, unpack(names))) do
  local values = id and tolerant('HMGET', root .. 'record:' .. id, 'token', 'indexed', 'owner',
    'title', 'created', 'updated', 'runs', 'version', 'expires')
  local is_there = values and values[1] == names[i] and (owner == '' or values[3] == owner)
    and not (values[9] and (number(values[9]) or time + 1) <= time)
  local size = is_there and redis.call('HSTRLEN', content, id) or 0
  if size > 0 then
    -- Foreign writes change the size.
    local written = '-' .. (values[8] or '0') .. '-' .. size
    local is_current = values[2] and values[2]:sub(-#written) == written
    values[1], values[2] = id, is_current and 1 or 0
  end
  reply[i + 4] = size > 0 and values
end
return reply
