-- Search by meaning in one file, with sqlite-vec, from SQLite's shell: sqlite3 notes.db < search.sql
-- In the folder are libencoderfile.so, sqlite-vec's vec0.so and a model.

.load ./vec0
.load ./libencoderfile

SELECT encoderfile_load('minilm', 'model.ef') ->> '$.name';

CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE VIRTUAL TABLE vectors USING vec0(embedding float[384] distance_metric=cosine);

-- What is written can be found.
CREATE TRIGGER note_written AFTER INSERT ON notes BEGIN
  INSERT INTO vectors (rowid, embedding) VALUES (new.id, encode(new.text));
END;

INSERT INTO notes (text) VALUES
  ('How do I reset my password?'),
  ('Our office is in Berlin.'),
  ('The invoice is due within thirty days.'),
  ('Zoë flew to 東京 😀, twice.');

-- `encode` is computed once.
SELECT round(1 - distance, 4) AS similarity, text
FROM vectors JOIN notes ON notes.id = vectors.rowid
WHERE embedding MATCH encode('I forgot my login') AND k = 2
ORDER BY distance;
