-- needs: conversation, checkpointed
-- Delete checkpoints, and what no other one needs; with the last one, everything.
-- ARGV  id, owner, fields of runs of the graph that have none any more (as parts), then of each
--       checkpoint its namespace (as a part) and its id
-- Returns 1, 0 without a conversation, or a refusal (conversation.lua).
local stored, refused = enter()
if refused then return refused end
if not stored.exists then return 0 end
redis.call('HLEN', checkpoints)
local doomed, needed, newest = {}, {}, {}
local function doom(field) doomed[#doomed + 1] = field end

for _, run in ipairs(unpacked(ARGV[3])) do doom(run) end
for i = 4, #ARGV, 2 do
  local namespace, checkpoint = ARGV[i], ARGV[i + 1]
  local list = 'i' .. namespace .. checkpoint
  local prefix = 'w' .. namespace .. packed(checkpoint)
  for _, name in ipairs(unpacked(redis.call('HGET', checkpoints, list) or '')) do
    doom(prefix .. name)
  end
  doom(list)
  redis.call('HDEL', checkpoints, 'c' .. namespace .. checkpoint)
end

local fields = redis.call('HKEYS', checkpoints)
for _, field in ipairs(fields) do
  if field:sub(1, 1) == 'c' then
    local size, colon = field:match('^c(%d+)()')
    local namespace, checkpoint = field:sub(2, colon + size), field:sub(colon + size + 1)
    if not newest[namespace] or newest[namespace] < checkpoint then
      newest[namespace] = checkpoint
    end
    for _, name in ipairs(values_of(redis.call('HGET', checkpoints, field))) do
      needed['b' .. name] = true
    end
  end
end
if not next(newest) then  -- an agent that begins anew must not take the conversation for its own
  redis.call('UNLINK', checkpoints)
  return 1
end
for _, field in ipairs(fields) do
  local kind = field:sub(1, 1)
  if kind == 'b' and not needed[field] then doom(field) end
  if kind == 'b' and needed[field] then
    for _, number in ipairs(numbers_of(redis.call('HGET', checkpoints, field)) or {}) do
      needed[number] = true
    end
  end
  if kind == 'n' then
    local known = newest[field:sub(2)]
    if known then redis.call('HSET', checkpoints, field, known) else doom(field) end
  end
end
for _, field in ipairs(fields) do
  local number = field:sub(1, 1) == 'd' and redis.call('HGET', checkpoints, field)
  if number and not needed[tonumber(number)] then doom(field) end
  -- After a rotation of keys, no digest tells a message.
  local message = field:match('^m(%d+)$')
  if message and not needed[tonumber(message)] then doom(field) end
end
for i = 1, #doomed, MANY do
  redis.call('HDEL', checkpoints, unpack(doomed, i, math.min(i + MANY - 1, #doomed)))
end
return 1
