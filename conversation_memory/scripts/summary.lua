-- needs: common
-- A conversation without its content: bytes of the field (-1 none), type of the record, type of the
-- runs, elements of the list, {values of `fields` of the record, none of another type}.
local function summary_of(content, id, record, runs, fields)
  local kind, list = redis.call('TYPE', record).ok, redis.call('TYPE', runs).ok
  local size = redis.call('HSTRLEN', content, id)
  if size == 0 and redis.call('HEXISTS', content, id) == 0 then size = -1 end
  local length = list == 'list' and redis.call('LLEN', runs) or 0
  local values = kind == 'hash' and redis.call('HMGET', record, unpack(fields)) or {}
  return {size, kind, list, length, values}
end
