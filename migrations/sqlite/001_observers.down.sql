DROP TABLE observers;
