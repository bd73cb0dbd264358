-- What five sessions brought by month and by quintile of rsv_20d: dataset and labels, in DuckDB.
-- Set first where the output is:  SET VARIABLE root = 'output';
-- Only the columns named here are read; a condition on Date also leaves out row groups.

SET VARIABLE dataset = getvariable('root') || '/ml_dataset_latest_full.parquet';

-- labels.json names the files of the table: the folder may hold others.
SET VARIABLE labels = (
    SELECT list(getvariable('root') || '/labels/' || part.chunk_id || '.parquet')
    FROM (
        SELECT unnest(parts) AS part
        FROM read_json(getvariable('root') || '/labels/labels.json', maximum_object_size = 100000000)
    )
);

WITH sorted AS (
    SELECT
        Date,
        ntile(5) OVER (PARTITION BY Date ORDER BY rsv_20d, Code) AS quintile,
        label_ret_oo_5d AS five_days
    FROM read_parquet(getvariable('dataset')) AS features
    JOIN read_parquet(getvariable('labels')) AS labels USING (Date, Code)
    WHERE rsv_20d IS NOT NULL AND label_ret_oo_5d IS NOT NULL
)
SELECT
    strftime(Date, '%Y-%m') AS month,
    quintile,
    count(*) AS rows,
    round(avg(five_days) * 10000, 1) AS mean_bp
FROM sorted
GROUP BY ALL
ORDER BY ALL;
