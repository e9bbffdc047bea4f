-- needs: slide, checkpointed
-- Keep writes of a task that follow a checkpoint.
-- ARGV  id, owner, lifetime, default lifetime, layout, namespace (as a part), checkpoint id, then
--       of each write its name, its text, and 1 to replace one of that name
-- Returns 1, 'absent' without a conversation, or a refusal (conversation.lua).
local stored, refused = enter()
if refused then return refused end
if not stored.exists then return 'absent' end
refused = unsealed(stored, ARGV[5])
if refused then return refused end
local namespace, checkpoint = ARGV[6], ARGV[7]
local list, prefix = 'i' .. namespace .. checkpoint, 'w' .. namespace .. packed(checkpoint)
local names = redis.call('HGET', checkpoints, list) or ''
for i = 8, #ARGV, 3 do
  local field, exists = prefix .. ARGV[i], false
  exists = redis.call('HEXISTS', checkpoints, field) == 1
  if not exists or ARGV[i + 2] == '1' then
    redis.call('HSET', checkpoints, field, ARGV[i + 1])
  end
  if not exists then names = names .. packed(ARGV[i]) end
end
redis.call('HSET', checkpoints, list, names)
slide(stored, ARGV[3], ARGV[4])
return 1
