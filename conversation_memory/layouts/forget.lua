-- Take out of the orders what is gone: past its deadline, or its field was deleted by someone.
-- Returns whether it was.
local known = redis.call('EXISTS', record) == 1 or redis.call('ZSCORE', recent, id)
if alive() then return 0 end
forget()
return known and 1 or 0
