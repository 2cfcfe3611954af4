/** The environment for a nested npx. */
export function outerEnvironment(): NodeJS.ProcessEnv;
