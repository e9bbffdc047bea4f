-- needs: slide, replies
-- Keep the question of a run whose output is to come, beside the conversation; or amend it, while
-- nobody has claimed it.
-- ARGV  id, owner, lifetime, default lifetime, question, token of the question to amend ('' for
--       none), that of the new one, layout; what replies.lua says
-- Returns the state, of a run that was begun before too; a refusal (conversation.lua), 'absent'
-- without a conversation, or {'reply', why} if it cannot be amended.
local stored, refused = enter()
if refused then return refused end
if not stored.exists then return 'absent' end
local state, question = read()
refused = unsealed(stored, ARGV[8], question)
if refused then return refused end
local token = ARGV[7]
if ARGV[6] ~= '' and not (state and question and state.token == token) then
  if not state then return {'reply', 'absent'} end
  if not question then return {'reply', state.status} end
  if state.status == 'claimed' then return {'reply', 'claimed'} end
  if state.token ~= ARGV[6] then return {'reply', 'changed'} end
  state.token, state.changed = token, string.format('%.0f', clock())
  redis.call('HSET', open, QUESTION, ARGV[5], STATE, text_of(state))
end
local is_removed = state and not question and state.status == 'removed'
if state and not is_removed then
  keep(state)  -- WAIT waits only for a call that writes
  return text_of(state)
end
redis.call('ZCARD', opened)
local now = clock()
list_at(now)
if is_removed then redis.call('UNLINK', chunks) end  -- or those of the new reply would be too old
-- Of a few at random: each question adds one state, and more of them leave if many are old.
for _, field in ipairs(redis.call('HRANDFIELD', open, 8)) do
  local other = field:match('^state:(.*)$')
  if other and redis.call('HEXISTS', open, 'question:' .. other) == 0 then
    local past = state_of(redis.call('HGET', open, field))
    if not past or past.changed + KEPT < now then redis.call('HDEL', open, field) end
  end
end
local time = string.format('%.0f', now)
state = {status = 'waiting', begun = time, changed = time, lease = 0, claims = 0, token = token,
  reason = '""'}
redis.call('ZADD', opened, now, reply)
redis.call('HSET', open, QUESTION, question or ARGV[5], STATE, text_of(state))
redis.call('PERSIST', open)
redis.call('HSET', record, 'updated', now, 'replies', 1)
slide(stored, ARGV[3], ARGV[4])
return text_of(state)
