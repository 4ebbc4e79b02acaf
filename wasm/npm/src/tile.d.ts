/** The bytes of the micro-kernel `tile.wat`, assembled. Written by `cargo xtask npm`. */
declare const tile: Uint8Array<ArrayBuffer>;
export default tile;
