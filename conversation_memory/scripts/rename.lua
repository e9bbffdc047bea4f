-- needs: conversation, documents, unindex, resealed, hash_anew
-- Give a conversation another id.
-- KEYS  ..., record, runs, ids, checkpoints and open runs of the new id [, a list with the texts of runs]
-- ARGV  id, owner, what difference() compares ('' for a conversation that is not encrypted), new id;
--       of an encrypted one, its field for the new id, how many fields and values of the record, how
--       many texts of the runs (-N if they are in that list), how many texts beside them, those, and
--       its checkpoints (hash_anew.lua)
-- Returns 1, 0 if there is no such conversation, -1 if the new id is taken, -2 if by a conversation
-- of another owner, or a refusal (conversation.lua, forgets.lua).
local renamed, moved, known, kept, reopened, stage = unpack(KEYS, 14, 19)
local target = ARGV[6]
local stored, refused = enter()
if refused then return refused end
if not stored.exists then return 0 end
local anew = ARGV[7]
refused = difference(stored) or not anew and unsealed(stored)
if refused then return refused end
local past = tolerant('HMGET', renamed, 'expires', 'owner')
if not past then return -1 end
local deadline = past[1] and number(past[1])
if deadline and deadline <= clock() then return {'past', past[2] or '', target} end
if redis.call('HEXISTS', content, target) == 1 or redis.call('EXISTS', renamed, moved) > 0 then
  return (past[2] or '') == owner and -1 or -2
end
refused = unnamed(target)
if refused then return refused end
check_orders()
local texts = anew and 11 + ARGV[8]
local others = anew and texts + math.max(0, ARGV[9])
local staged = anew and ARGV[9]:sub(1, 1) == '-' and -ARGV[9]
if staged and redis.call('LLEN', stage) ~= staged then return {'changed'} end
local agents
if anew then
  local first = others + ARGV[10]
  agents = hash_anew(checkpoints, first)
  if not agents then return {'changed'} end
  local map = map_of(others, first - 1)
  local title = map[in_place('title', redis.call('HGET', record, 'title') or '')]
  local fields, streams = replies_anew(map)
  if not title or not fields then return {'changed'} end
  refused = not keeps(stored) and unswept(stored)
  if refused then return refused end
  put_replies(fields, streams)
  if not keeps(stored) then unindex(stored) end
  if title ~= '' then redis.call('HSET', record, 'title', title) end
end
local untouched = stored.size > LONG and is_untouched()
redis.call('HSET', content, target, anew or redis.call('HGET', content, id))
redis.call('HDEL', content, id)
local moves = {[record] = renamed, [runs] = moved, [ids] = known, [checkpoints] = kept}
for from, to in pairs(moves) do
  if redis.call('EXISTS', from) == 1 then redis.call('RENAME', from, to) end
end
if anew then
  redis.call('HSET', renamed, unpack(ARGV, 11, texts - 1))
  -- The field may have another length now, although its search documents are the same.
  local schema = schema_of(stored)
  if schema then redis.call('HSET', renamed, 'indexed', indexed_as(schema, stored.version, #anew)) end
  redis.call('UNLINK', moved)
  for i = texts, others - 1, MANY do
    redis.call('RPUSH', moved, unpack(ARGV, i, math.min(i + MANY, others) - 1))
  end
  if staged then
    redis.call('PERSIST', stage)
    redis.call('RENAME', stage, moved)
  end
  put_hash(kept, agents, 1)
  if stored.expires then
    redis.pcall('PEXPIREAT', moved, stored.expires)
    redis.pcall('PEXPIREAT', kept, stored.expires)
  end
end
local fields = has_replies and tolerant('HKEYS', open_runs) or {}
for _, field in ipairs(fields) do
  local was, is = reply_of(id, field), reply_of(target, field)
  local time = was and redis.call('ZSCORE', opened, was)
  if time then
    redis.call('ZREM', opened, was)
    redis.call('ZADD', opened, time, is)
  end
  if was and redis.call('EXISTS', stream_of(was)) == 1 then
    redis.call('RENAME', stream_of(was), stream_of(is))
  end
end
if #fields > 0 then redis.call('RENAME', open_runs, reopened) end
if stored.token then redis.call('HSET', root .. 'tokens', stored.token, target) end
for _, order in ipairs({recent, expiry, owned}) do
  local score = redis.call('ZSCORE', order, id)
  if score then redis.call('ZADD', order, score, target) end
  redis.call('ZREM', order, id)
end
local time = stored.expires or untouched and NEVER
if time then redis.pcall('HPEXPIREAT', content, time, 'FIELDS', 1, target) end
return answer(1)
