/** Every failure of a Vitest report: of its tests, and of files that failed as a whole. */
export function failuresOf(report) {
  return report.testResults.flatMap((file) => {
    const tests = file.assertionResults
      .filter(({ status }) => status === "failed")
      .map(({ fullName, failureMessages }) => ({
        file: file.name,
        test: fullName,
        message: failureMessages.join("\n"),
        messages: failureMessages,
      }));
    if (file.status !== "failed" || tests.length > 0) return tests;
    const message = file.message ?? "";
    return [{ file: file.name, test: "(the whole file)", message, messages: [message] }];
  });
}

/**
 * Whether a failure may have been the machine's: something took too long. A wrong answer is never forgiven,
 * however rare it is: a row of another human in one run of a hundred is what these tests are there to find.
 */
export function isForgivable({ messages }) {
  return messages.length > 0 && messages.every(isOfTime);
}

/** By its first line: what an assertion compares below may hold the same words. */
function isOfTime(message) {
  const [line] = message.split("\n", 1);
  return (
    !line.startsWith("AssertionError") &&
    /timed out|did not happen within|did not end within|ETIMEDOUT|EADDRINUSE/i.test(line)
  );
}
