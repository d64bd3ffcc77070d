//! Has DuckDB's library looked for beside the adapter.

fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-rpath,$ORIGIN");
    // The tests link it too, and run where it was built.
    println!("cargo::rerun-if-env-changed=DUCKDB_LIB_DIR");
    if let Ok(folder) = std::env::var("DUCKDB_LIB_DIR") {
        println!("cargo::rustc-link-arg-tests=-Wl,-rpath,{folder}");
    }
}
