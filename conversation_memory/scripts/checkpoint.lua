-- needs: slide, checkpointed
-- Keep a checkpoint of an agent beside the conversation.
-- ARGV  id, owner, lifetime, default lifetime, layout, namespace (as a part), checkpoint id, its text,
--       field of its run ('' none), version of the messages to show ('' none), then of each value its
--       field and its text; or its field, '', how many messages, and of each its digest and text
-- Returns 'absent' without a conversation, a refusal (conversation.lua), or what to show: 'same' if
-- the conversation shows these messages or is not to; 'next' and what was shown before; or 'lost'
-- and the same, if another caller began to show something and has not ended.
local stored, refused = enter()
if refused then return refused end
if not stored.exists then return 'absent' end
refused = unsealed(stored, ARGV[5])
if refused then return refused end
local namespace, checkpoint, version = ARGV[6], ARGV[7], ARGV[10]
local newest = redis.call('HGET', checkpoints, 'n' .. namespace)
local is_newest = not newest or newest <= checkpoint
local now = clock()
list_at(now)

local function numbered(first, count)
  local ranges, from, to = {}, nil, nil
  for i = first, first + 2 * count - 2, 2 do
    local number = tonumber(redis.call('HGET', checkpoints, 'd' .. ARGV[i]) or nil)
    if not number then
      number = redis.call('HINCRBY', checkpoints, 'messages', 1)
      redis.call('HSET', checkpoints, 'd' .. ARGV[i], number, 'm' .. number, ARGV[i + 1])
    end
    if to and number ~= to + 1 then
      ranges[#ranges + 1], from = from .. '-' .. to, nil
    end
    from, to = from or number, number
  end
  if to then ranges[#ranges + 1] = from .. '-' .. to end
  return '0:' .. table.concat(ranges, ',')
end

local i = 11
while i <= #ARGV do
  local field, text = ARGV[i], ARGV[i + 1]
  i = i + 2
  if text == '' then
    local count = tonumber(ARGV[i])
    text, i = numbered(i + 1, count), i + 1 + 2 * count
  end
  redis.call('HSET', checkpoints, field, text)
end
redis.call('HSET', checkpoints, 'c' .. namespace .. checkpoint, ARGV[8])
if is_newest then redis.call('HSET', checkpoints, 'n' .. namespace, checkpoint) end
if ARGV[9] ~= '' then redis.call('HSET', checkpoints, ARGV[9], '') end

local found = 'same'
if version ~= '' and is_newest then
  local shown, known, showing = unpack(redis.call('HMGET', checkpoints, 'shown', 'shown version',
    'showing'))
  if known ~= version or showing then
    found = (showing and 'lost' or 'next') .. (shown or '')
    redis.call('HSET', checkpoints, 'showing', checkpoint)
  end
end
redis.call('HSET', record, 'updated', now)
slide(stored, ARGV[3], ARGV[4])
return found
