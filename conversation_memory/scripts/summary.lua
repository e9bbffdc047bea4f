-- needs: common
-- A conversation without its content: bytes of the field (-1 none), type of the record, type of the
-- runs, elements of the list, {values of `fields` of the record, none of another type}.
local function summary_of(content, id, record, runs, fields)
  local size = redis.call('HSTRLEN', content, id)
  if size == 0 and redis.call('HEXISTS', content, id) == 0 then size = -1 end
  local values, length = tolerant('HMGET', record, unpack(fields)), tolerant('LLEN', runs)
  local kind = values and values[#fields] and 'hash' or redis.call('TYPE', record).ok
  local list = length == 0 and 'none' or length and 'list' or redis.call('TYPE', runs).ok
  return {size, kind, list, length or 0, values or {}}
end
