-- needs: conversation
-- A conversation that gets encrypted must not keep the search documents from before.
local function unindex(stored)
  local token = stored.token
  if not token then return nil end
  redis.call('HDEL', record, 'token', 'tag', 'facets', 'indexed')
  stored.token, stored.indexed = false, false
  return not unregister(token) and {'unswept', token, id} or nil
end

-- The refusal if there are many of them: sweep.lua deletes those first that are left here.
local function unswept(stored)
  local count = stored.token and tolerant('SCARD', root .. 'documents:' .. stored.token) or 0
  return count > DOCUMENTS and unindex(stored) or nil
end
