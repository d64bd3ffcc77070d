/* a licence
   of two lines */

-- no-transaction
VACUUM;
