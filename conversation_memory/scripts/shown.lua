-- needs: conversation
-- The conversation shows the messages of a checkpoint now.
-- ARGV  id, owner, checkpoint id, what is shown, version of the messages
-- Returns 1, 0 without a conversation, or a refusal (conversation.lua).
local stored, refused = enter()
if refused then return refused end
if not stored.exists then return 0 end
if redis.call('EXISTS', checkpoints) == 0 then return 0 end
-- Another caller that has begun since leaves it open what the conversation shows.
if redis.call('HGET', checkpoints, 'showing') == ARGV[3] then
  redis.call('HDEL', checkpoints, 'showing')
end
redis.call('HSET', checkpoints, 'shown', ARGV[4], 'shown version', ARGV[5])
return 1
