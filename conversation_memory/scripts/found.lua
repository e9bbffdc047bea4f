-- needs: summary
-- A search, or the tokens of an earlier one, with the present summaries of the conversations.
-- KEYS  content, expiry, tokens, owners, root
-- ARGV  owner ('' any), the tag believed to be the owner's, how many fields of the record to fetch,
--       their names, the number of parts of each hit in a reply, the search; or 0 and tokens
-- Returns {time, number of expired conversations, 1 if the tag is the owner's, the reply to the
-- search, the token of each conversation in it, then for each token false, or its id and what
-- summary.lua says}.
local content, expiry, tokens, owners, root = unpack(KEYS)
local owner, tag, first = ARGV[1], ARGV[2], ARGV[3] + 4
local fields, parts = {unpack(ARGV, 4, first - 1)}, tonumber(ARGV[first])
local found, names, known = false, {}, {}
if parts == 0 then
  names = {unpack(ARGV, first + 1)}
else
  found = redis.pcall(unpack(ARGV, first + 1))
  if found.err then return found end
  for i = 2, #found, parts do
    local token = found[i]:match('^[^:]*', #root + #'run:' + 1)
    if not known[token] then names[#names + 1] = token end
    known[token] = true
  end
end
local time = clock()
local is_tag = owner == '' or redis.call('HGET', owners, owner) == tag
local overdue = redis.call('ZCOUNT', expiry, '-inf', time)
local reply = {time, overdue, is_tag and 1 or 0, found, names}
if #names == 0 then return reply end
for i, id in ipairs(redis.call('HMGET', tokens, unpack(names))) do
  local record, runs = root .. 'record:' .. (id or ''), root .. 'runs:' .. (id or '')
  reply[i + 5] = id and {id, unpack(summary_of(content, id, record, runs, fields))}
end
return reply
