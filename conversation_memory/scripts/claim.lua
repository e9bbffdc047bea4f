-- needs: conversation, replies
-- Let a worker answer an open run, unless another one does.
-- ARGV  id, owner, token, how long the lease is (ms), 1 to go on behind the chunks there are, layout;
--       what replies.lua says
-- Returns the state, a newline and the question, or a refusal; {'reply', status} if it is not to be
-- claimed.
local stored, refused = enter()
if refused then return refused end
local state, question = read()
if not stored.exists or not state then return {'reply', 'absent'} end
if not question then return {'reply', state.status} end
refused = unsealed(stored, ARGV[6], question)
if refused then return refused end
local now = clock()
local is_own = state.status == 'claimed' and state.token == ARGV[3]
if state.status == 'claimed' and not is_own and state.lease > now then
  return {'reply', 'claimed'}
end
-- A claim that is sent again has no chunks yet.
if not is_own or newest():find('^' .. state.claims .. '%-[1-9]') then
  state.status, state.claims, state.reason = 'claimed', state.claims + 1, '""'
  -- Followers must not take the outcome of the claim before for that of the reply.
  if redis.call('XLEN', chunks) > 0 then
    if ARGV[5] == '1' then
      add(state, 0, 't', '')
    else
      add(state, 0, 'k', 'restart', 't', '')
      redis.call('XTRIM', chunks, 'MAXLEN', 1)
    end
  end
end
state.token, state.lease = ARGV[3], now + ARGV[4]
state.changed = string.format('%.0f', now)
keep(state)
return text_of(state) .. '\n' .. question
