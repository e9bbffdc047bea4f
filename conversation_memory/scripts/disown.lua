-- needs: conversation
--
-- Take a conversation out of the order of an owner.
--
-- ARGV  id, owner
disown()
return 1
