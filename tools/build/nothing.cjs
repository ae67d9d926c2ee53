// Replaces an optional package that a dependency asks for.
module.exports = null;
