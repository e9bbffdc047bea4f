-- needs: checkpointed
-- Read a checkpoint, with the values of its channels and its pending writes.
-- KEYS  content, record, checkpoints
-- ARGV  id, 1 if only that owner's counts, owner, namespace (as a part), checkpoint id ('' newest)
-- Returns false if there is none, or {checkpoint id, text, {names of the writes}, {writes},
-- {texts of the values, false if there is none}, {the messages of each, or false}}.
local content, record, checkpoints = unpack(KEYS)
local id, namespace, checkpoint = ARGV[1], ARGV[4], ARGV[5]
local owner, expires = unpack(redis.call('HMGET', record, 'owner', 'expires'))
if ARGV[2] == '1' and (owner or '') ~= ARGV[3] then return false end
expires = expires and number(expires)
if expires and expires <= clock() then return false end
if redis.call('HEXISTS', content, id) == 0 then return false end
if checkpoint == '' then checkpoint = redis.call('HGET', checkpoints, 'n' .. namespace) end
local text = checkpoint and redis.call('HGET', checkpoints, 'c' .. namespace .. checkpoint)
if not text then return false end
local prefix = 'w' .. namespace .. packed(checkpoint)
local names = unpacked(redis.call('HGET', checkpoints, 'i' .. namespace .. checkpoint) or '')
local writes, values, messages = {}, {}, {}
for i, name in ipairs(names) do writes[i] = redis.call('HGET', checkpoints, prefix .. name) end
for i, name in ipairs(values_of(text)) do
  local value = redis.call('HGET', checkpoints, 'b' .. name)
  local numbers, found = value and numbers_of(value), false
  if numbers then
    found = {}
    for j, number in ipairs(numbers) do
      found[j] = redis.call('HGET', checkpoints, 'm' .. number)
    end
  end
  values[i], messages[i] = value, found
end
return {checkpoint, text, names, writes, values, messages}
