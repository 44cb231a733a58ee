"""Read image files of users from folders, zip archives and Parquet files.

`file_tree` lists files, `listing` assigns them to splits and classes, `image_header` and
`decoding` turn them into one array.
"""
