import protobuf from 'protobufjs/minimal.js';

// protobufjs would represent 64-bit fields as `long` objects if that package happens to be installed. Here they are
// always numbers; the codec refuses values that a number cannot represent.
Object.assign(protobuf.util, { Long: null });
protobuf.configure();

export default protobuf;
