-- needs: conversation
-- Stands before the scripts that delete a conversation or give it another owner or id. Behind the
-- keys of conversation.lua, with an order of nobody where there is no owner, they take
--   open runs of the conversation, list of open runs, owners
-- then their own, and last the streams of the open runs. Only the server knows the ids of these: a
-- script refuses with {'names', key, ...} to be called again with the keys that it lacks.
local open_runs, opened, owners = unpack(KEYS, 11, 13)

local has_replies = redis.call('EXISTS', open_runs) == 1  -- whatever the record says

-- A deletion cannot be taken back: a recency index of another type has to fail before.
local function check_orders(other)
  for _, order in pairs({recent, expiry, owned or recent, other or recent}) do
    redis.call('ZCARD', order)
  end
end

-- Leave an order of an owner. With the last conversation goes their tag, wherever it is kept.
local function leave(order, whose)
  redis.call('ZREM', order, id)
  if redis.call('EXISTS', order) == 0 then redis.call('HDEL', owners, whose) end
end

local function disown()
  if owned then leave(owned, owner) end
end

-- The name in the list of open runs, as in keys.py, of one with a field in the hash of open runs;
-- nil for the other field that each one has.
local function reply_of(whose, field)
  return field:sub(1, 6) == 'state:' and #whose .. ':' .. whose .. ':' .. field:sub(7) or nil
end

local function stream_of(reply) return root .. 'chunks:' .. reply end

-- The refusal if streams of open runs, for this id or for another one, are not in KEYS.
local function unnamed(other)
  local known, missing = {}, {'names'}
  local fields = has_replies and tolerant('HKEYS', open_runs) or {}
  for _, key in ipairs(#fields > 0 and KEYS or {}) do known[key] = true end
  for _, field in ipairs(fields) do
    for _, whose in ipairs({id, other}) do
      local reply = reply_of(whose, field)
      if reply and not known[stream_of(reply)] then missing[#missing + 1] = stream_of(reply) end
    end
  end
  return missing[2] and missing or nil
end

-- Delete the open runs and what was said of their outputs, also what is kept for a while of those
-- that are settled.
local function drop_replies()
  for _, field in ipairs(tolerant('HKEYS', open_runs) or {}) do
    local reply = reply_of(id, field)
    if reply then
      redis.call('UNLINK', stream_of(reply))
      redis.pcall('ZREM', opened, reply)
    end
  end
  redis.call('UNLINK', open_runs)
end

-- Valkey's HDEL spares a field whose deadline has passed, and readers do not see it. One that HSET
-- wrote has no deadline. If that fails, the server frees the field soon.
local function drop_field()
  if redis.call('HDEL', content, id) == 0 and redis.call('EXISTS', content) == 1 then
    redis.pcall('HSET', content, id, '')
    redis.call('HDEL', content, id)
  end
end

-- Delete everything of the conversation; if `unnamed` finds nothing. Returns the token of which
-- search documents are left, nil if none are.
local function forget()
  if has_replies then drop_replies() end
  drop_field()
  local token = redis.call('HGET', record, 'token')
  local left = token and not unregister(token) and token or nil
  redis.call('UNLINK', record, runs, ids, checkpoints)
  redis.call('ZREM', recent, id)
  redis.call('ZREM', expiry, id)
  disown()
  return left
end

-- An expired conversation of that owner is no refusal here: it does not exist, and is to be deleted.
local entered = enter
local function enter()
  local stored, refused = entered()
  if stored and stored.past and stored.owner == owner then refused = nil end
  return stored, refused
end
